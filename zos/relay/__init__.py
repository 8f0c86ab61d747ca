"""The relay: carries envelopes between twins, for labs and private farms. It reads addresses, never payloads."""
