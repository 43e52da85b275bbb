"""People's accounts: opened in one step, closed with what happens said first, reopened, cleaned up."""
