"""Puts PulseCart on a cluster: image, overlay, waiting until all is Ready; or a sentence on what is missing."""
