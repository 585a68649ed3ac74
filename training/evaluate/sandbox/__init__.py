"""Running programs that a model wrote: isolated, limited, and believed only when they finish their tests."""
