"""From an English text to numbers: the encoder, the cache of its token states, the prior and the tower."""
