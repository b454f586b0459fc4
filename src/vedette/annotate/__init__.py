"""The labelling protocol of UnsafeBench: who answers what, what is stored, how far they agree."""
