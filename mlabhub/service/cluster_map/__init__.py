"""The map of all GPUs, made once for all who look: what is on it (`desk`), and how it is drawn (`drawing`)."""
