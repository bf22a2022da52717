"""What is wanted and what is proposed: targets, candidates, cuts, choice."""
