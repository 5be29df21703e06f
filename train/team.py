"""The processes that train one model: one, or one for each GPU (or core) of each machine, in step with each other.

    Team (device, rank) -> experiment: its own batches -> gradients, averaged over the team -> the same step in each

Processes are begun and find each other by lightning Fabric: on one machine by the first of them; on several by whoever
begins the command on each (torchrun, SLURM, or MASTER_ADDR and NODE_RANK by hand). Gradients travel by NCCL between
GPUs and by gloo between processors. Every process takes `batch` samples of its own, so that a step sees `size` times as
many; the learning rate stays what the recipe says. The first process alone reports, validates and writes; all of them
read the run's folder, which machines therefore share.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError

__all__ = ["Team"]


class Team:
    """accelerator: 'auto' (GPUs where there are some), 'cpu' or 'cuda'. devices: processes on each machine, of which
    each takes a GPU or shares the cores; nodes: machines.
    """

    def __init__(self, accelerator: str = "auto", devices: int = 1, nodes: int = 1) -> None:
        if accelerator not in ("auto", "cpu", "cuda"):
            raise InputError(f"device {accelerator!r}: expected auto, cpu or cuda")
        self.accelerator, self.devices, self.nodes = accelerator, devices, nodes
        self.size, self.rank = devices * nodes, 0
        self.fabric: Any = None

    @property
    def gpus(self) -> int:
        """Those of this machine that may be taken."""
        return torch.cuda.device_count() if self.accelerator != "cpu" and torch.cuda.is_available() else 0

    @property
    def leads(self) -> bool:
        """Whether this is the process that reports and writes."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        if self.fabric is not None:
            return self.fabric.device
        return torch.device("cuda" if self.gpus else "cpu")

    def join(self, precision: str | None) -> None:
        """Begin the other processes and wait for them, or meet those of an earlier run of this program. precision:
        Fabric's name of it; None: it is not needed for that. Raises InputError for GPUs that are not there, and for
        another number of processes than earlier.
        """
        if self.accelerator == "cuda" and not self.gpus:
            raise InputError("device cuda: there is no GPU")
        if self.accelerator != "cpu" and self.devices > max(1, self.gpus):
            raise InputError(
                f"{self.devices} GPUs are asked for, there are {self.gpus} (--device cpu: processes on the processor)"
            )
        group = torch.distributed
        if group.is_available() and group.is_initialized() and (there := group.get_world_size()) != self.size:
            raise InputError(f"{self.size} processes are asked for, this program has {there}: they stay the same")
        if self.size == 1 and precision is None:
            return
        from lightning.fabric import Fabric

        options: dict[str, Any] = {"precision": precision or "32-true"}
        if self.size > 1:
            options |= {"strategy": "ddp", "num_nodes": self.nodes}
        self.fabric = Fabric(accelerator=self.accelerator, devices=self.devices, **options)
        self.fabric.launch()
        self.rank = self.fabric.global_rank

    def leave(self) -> None:
        """After the run: wait for the others. They stay a group, as a second run in the same program needs it: a new
        one at the same address could meet what is left of the old one, and wait for ever.
        """
        if self.size > 1 and self.fabric is not None:
            self.fabric.barrier()

    def agreed(self, value: float) -> float:
        """The first process's value, for all."""
        if self.size == 1:
            return value
        return float(self.fabric.broadcast(torch.tensor(value, dtype=torch.float64)))

    def same(self, network: nn.Module) -> None:
        """Give all processes the first one's weights."""
        if self.size > 1:
            for tensor in (*network.parameters(), *network.buffers()):
                torch.distributed.broadcast(tensor.data, 0)

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Make the gradients the means over all processes; of one that has none it is zero."""
        if self.size > 1:
            trained = [p for p in parameters if p.requires_grad]
            for p in trained:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            self.add([p.grad for p in trained if p.grad is not None], 1 / self.size)

    def add(self, tensors: Sequence[Tensor], scale: float = 1.0) -> None:
        """Make tensors of one type the sums over all processes, times `scale`, in place."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        torch.distributed.all_reduce(flat)
        for tensor, part in zip(tensors, flat.mul_(scale).split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))
