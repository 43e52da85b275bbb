"""TensorBoard for log folders that its person chooses, as a tool of a workbench and as a small server of its own."""
