"""The life of a worker process: polling, health, signs of life, protection, shutdown."""
