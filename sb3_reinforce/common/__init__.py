"""What the algorithms share: buffers, estimators, score functions, callbacks, figures."""
