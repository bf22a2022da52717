"""One page to drive campaigns from, and the same as a JSON API; nothing here computes, campaigns are processes."""
