"""Stand-in sets: harmless drawn pictures in the shape of a published set (docs/synth.md)."""
