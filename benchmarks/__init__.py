"""Figures that the project promises, as ratios measured in one run: machines are shared and
noisy, so a peer is always timed beside us, interleaved, and medians are compared."""
