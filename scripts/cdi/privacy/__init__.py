"""Privacy requests: people kept out, forgotten or told what is known of them, and the proof of it."""
