"""What has no image here, played by rules: each of these is named as simulated in every report."""
