"""Demo data: raw files of a made-up shop, dirty as real ones are, and the truth about who is who, apart."""
