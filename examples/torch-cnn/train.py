"""Train the CNN on the digits, from scratch or from a checkpoint. `ah train` runs this.

The same code, dataset, checkpoint and parameters give the same bytes: whatever chance decides is
decided by the seed and the number of the epoch, so five epochs continued for five more are what ten
in one go are.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from cnn import load_network, load_split, make_network, measure
from torch import nn

from ahstore import run  # parameters and metrics; in every run it can be imported

BATCH = 32

params = run.params()
epochs = int(params.get("epochs", 5))
rate = float(params.get("rate", 0.003))
seed = int(params.get("seed", 0))

torch.use_deterministic_algorithms(True)
torch.set_num_threads(1)  # sums depend on how threads share them; so small a network gains nothing
torch.manual_seed(seed)

images, labels = load_split(Path(os.environ["AH_DATASET_DIR"], "train"))
checkpoint = os.environ.get("AH_CHECKPOINT_DIR")
network = load_network(Path(checkpoint)) if checkpoint else make_network()
optimizer = torch.optim.Adam(network.parameters(), lr=rate)
done = 0
if checkpoint:
    state = torch.load(Path(checkpoint, "training_state.pt"), weights_only=True)
    optimizer.load_state_dict(state["optimizer"])
    for group in optimizer.param_groups:
        group["lr"] = rate
    done = state["epochs"]
    print(f"continuing after epoch {done}", flush=True)

for epoch in range(done, done + epochs):
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed + epoch))
    for chosen in order.split(BATCH):
        loss = nn.functional.cross_entropy(network(images[chosen]), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    now = measure(network, images, labels)
    run.log(step=epoch + 1, **now)
    print(f"epoch {epoch + 1}: loss {now['loss']:.4f}, accuracy {now['accuracy']:.4f}", flush=True)

output = Path(os.environ["AH_OUTPUT_DIR"])
torch.save(network.state_dict(), output / "model_state_dict.pt")
state = {"optimizer": optimizer.state_dict(), "epochs": done + epochs}
torch.save(state, output / "training_state.pt")
