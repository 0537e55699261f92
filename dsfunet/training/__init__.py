"""Training: the LightningModule, its losses and optimizer steps, and the callbacks."""
