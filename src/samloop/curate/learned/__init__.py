"""What was learnt from examples rather than written down: small models that say how likely a flaw is.

Their weights are data (weights.safetensors), their origin stands in README.md beside them, and
scripts/train_quality.py makes them anew. They read columns and give one number per example, like any measurement.
"""
