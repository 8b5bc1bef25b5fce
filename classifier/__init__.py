"""Training, calibration, export and evaluation of nonnocere's classifier."""
