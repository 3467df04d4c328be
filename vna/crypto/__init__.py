"""Materials of sealing: segments, envelopes, key chain. Knows no archive, no network, no clock."""
