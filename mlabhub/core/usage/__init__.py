"""GPU-hours: what was allocated, used, held but idle, and waited for, by whom and on which day."""
