"""Whether servers are used: watched all the time, judged each minute, and acted upon with care."""
