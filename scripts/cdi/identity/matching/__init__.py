"""The probabilistic matcher: profiles that are probably one person though no event links them."""
