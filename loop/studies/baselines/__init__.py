"""What Janus-AL is measured against in the arena, and no part of what it offers: generators, by import path."""
