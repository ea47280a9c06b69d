"""The settings of samloop: one class for each table of samloop.toml, every default with its unit.

`samloop.recipe` joins them, reads and writes them.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from samloop.example import DOMAINS, Domain, Tier


class Section(BaseModel):
    """A table of the recipe: unknown keys are errors, values are checked when set."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Sam(Section):
    """Who the assistant is."""

    name: str = Field("SAM", description="what the assistant calls itself")
    system_prompt: str = Field("", description="system prompt of examples that bring none; empty: none is added")


class StoreSettings(Section):
    """Where examples are kept."""

    url: str = Field("", description="database URL; empty: SQLite in the samloop home")
    busy_timeout_seconds: float = Field(10.0, gt=0, description="how long to wait for another writer")


class SourceSettings(BaseModel):
    """One configured origin of examples; further keys are options of the source itself."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str = Field(description="name of the source plug-in: git, code, docs, chatgpt, dataset, …")
    location: str = Field("", description="path or address; relative paths start at the recipe's folder")
    review: bool = Field(False, description="send all of it to review first")
    enabled: bool = Field(True, description="whether a turn reads it")
    allow_licences: tuple[str, ...] = Field(
        (), description="SPDX ids that this source may bring although [collect] refuses them"
    )

    @property
    def options(self) -> dict[str, Any]:
        """The keys that are not samloop's own: options of the source plug-in."""
        return dict(self.model_extra or {})


class Collect(Section):
    """What is read, and in which portions."""

    batch_examples: int = Field(8192, ge=1, description="examples curated and stored per transaction, at most")
    max_line_bytes: int = Field(64 * 2**20, ge=1024, description="longer lines of a file are turned away unread")
    workers: int = Field(2, ge=0, description="processes that judge examples of a large source; 0: none but this one")
    side_by_side: int = Field(4, ge=1, description="sources read at once, where the recipe names several")
    live: bool = Field(True, description="whether a turn reads captures and feedback without being told to")
    licences: tuple[str, ...] = Field((), description="SPDX ids to let in; empty: all; 'unknown' stands for none")
    noncommercial: bool = Field(True, description="whether to let in what a licence forbids to use commercially")
    sources: tuple[SourceSettings, ...] = Field((), description="the origins, one table each")


class Redact(Section):
    """What is taken out before anything is stored."""

    enabled: bool = Field(True, description="whether anything is taken out at all")
    names: tuple[str, ...] = Field((), description="names of people or projects to take out as well")


class Near(Section):
    """Near-duplicates: what `curate` leaves out, and `dedupe --strategy near` rejects."""

    enabled: bool = Field(True, description="whether curation in bulk looks for them")
    jaccard: float = Field(0.8, ge=0.5, le=1, description="share of three-word sequences that two have in common")
    template_examples: int = Field(
        80, ge=1, le=200, description="sequences in more examples than this are a template's, and count for nothing"
    )


class Curate(Section):
    """How examples are judged."""

    rubric: str = Field("sound", description="sound, unified, pipeline or distillation")
    reject_below: float = Field(0.3, ge=0, le=1, description="quality score under which an example is rejected")
    domains: str = Field(
        "model", description="what tells domain and complexity: model, keywords, or the whole path of a model's file"
    )
    decontaminate: tuple[str, ...] = Field(
        ("retention", "routing"),
        description="evaluation items that no example may contain: names of suites that bring their own, JSONL files",
    )
    redact: Redact = Redact()
    near: Near = Near()
    rules: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="per rule: enabled = false, or its own options"
    )


class Prepare(Section):
    """What goes into a dataset, and how it is split."""

    tiers: tuple[Tier, ...] = Field(("gold", "silver", "bronze"), description="quality tiers to admit")
    domains: tuple[Domain, ...] = Field(DOMAINS, description="domains to admit")  # type: ignore[arg-type]
    sources: tuple[str, ...] = Field((), description="names of sources to admit; empty: all")
    licences: tuple[str, ...] = Field((), description="SPDX ids to admit; empty: all; 'unknown' stands for none")
    valid_share: float = Field(0.05, gt=0, lt=0.5, description="share of groups held out for validation")
    test_share: float = Field(0.05, gt=0, lt=0.5, description="share of groups held out for the gate")
    token_budget: int = Field(0, ge=0, description="training tokens per dataset; 0: no bound")
    source_caps: dict[str, float] = Field(default_factory=dict, description="largest share of tokens, by source")
    correction_weight: float = Field(3.0, gt=0, description="how much more a user's correction counts in the loss")
    replay_share: float = Field(
        0.05, ge=0, lt=0.9, description="share of tokens replayed against forgetting; 0: none"
    )
    replay_file: str = Field("", description="JSONL file of messages to replay; empty: the exchanges of the package")
    seed: int = Field(0, description="seed of the draw where a budget or a cap leaves something out")


class Train(Section):
    """How an adapter is trained. Keys left out come from the preset."""

    preset: str = Field("auto", description="auto, laptop-8gb, standard, laptop-3b or pocket")
    backend: Literal["auto", "torch", "mlx"] = Field(
        "auto", description="auto, torch or mlx; auto: MLX on Apple silicon"
    )
    model: str = Field("", description="folder or hub name of the base model; 'pocket': the bundled one")
    method: Literal["auto", "sft", "dpo", "sft+dpo"] = Field(
        "auto", description="sft, dpo, sft+dpo or auto; auto: sft+dpo where there are min_pairs, else sft"
    )
    min_pairs: int = Field(20, ge=1, description="preference pairs to train on that make auto take sft+dpo")
    beta: float = Field(0.1, gt=0, description="how strongly dpo holds the model to the base; lower is looser")
    preference_epochs: float = Field(3.0, gt=0, description="times dpo sees each pair")
    preference_learning_rate: float = Field(1e-5, gt=0, description="peak learning rate of dpo")
    curriculum: bool = Field(False, description="sft in phases: complexity to 3, to 6, all")
    budget_minutes: float = Field(0.0, ge=0, description="longest that a run shall take; 0: no bound")
    rank: int = Field(8, ge=1, description="LoRA rank")
    alpha: float = Field(16.0, gt=0, description="LoRA alpha; the update is scaled by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="LoRA dropout")
    layers: int = Field(0, ge=0, description="how many of the last layers get LoRA; 0: all")
    targets: tuple[str, ...] = Field(("q_proj", "k_proj", "v_proj", "o_proj"), description="modules with LoRA")
    batch_examples: int = Field(4, ge=1, description="sequences per step of one device")
    accumulation_steps: int = Field(4, ge=1, description="batches per optimiser step")
    max_seq_tokens: int = Field(512, ge=16, description="longest training sequence")
    quantise: Literal["none", "4bit", "nf4", "affine4"] = Field(
        "none",
        description="how the base is held: none (as it is), 4bit (nf4 on torch, affine4 on MLX), or one of these",
    )
    packing: Literal["auto", "on", "off"] = Field(
        "auto", description="sequences end to end without padding; auto: on torch, where the base allows it"
    )
    gradient_checkpointing: bool = Field(
        False, description="keep less for the backward pass and compute it twice: less memory, a third slower"
    )
    epochs: float = Field(1.0, gt=0, description="times each example is seen")
    learning_rate: float = Field(1e-4, gt=0, description="peak; it rises, then falls along a cosine")
    warmup_share: float = Field(0.05, ge=0, lt=1, description="share of steps with rising learning rate")
    weight_decay: float = Field(0.0, ge=0, description="of AdamW")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients with a larger norm are scaled down to it")
    seed: int = Field(0, description="seed of the order of examples, of LoRA's start and of dropout")
    report_steps: int = Field(10, ge=1, description="optimiser steps between metric lines")
    evaluate_steps: int = Field(50, ge=1, description="optimiser steps between validation losses")
    checkpoint_steps: int = Field(100, ge=1, description="optimiser steps between checkpoints")
    earlier_adapters: int = Field(
        4, ge=0, description="adapters of earlier checkpoints that a run keeps, to be graded; evenly spread"
    )
    patience: int = Field(3, ge=0, description="validations without improvement before stopping; 0: never stop")
    quick_steps: int = Field(10, ge=1, description="optimiser steps of --quick")
    cluster: str = Field(
        "", description="Ray cluster that trains, ray://local or ray://HOST:PORT; empty: this machine does"
    )
    cluster_workers: int = Field(
        0, ge=0, description="workers of the cluster that train; 0: one per GPU, or one per machine without any"
    )
    cluster_shard: bool = Field(
        False, description="the cluster's workers split the base among them: for one that fits no single device"
    )
    report_to: tuple[Literal["mlflow", "wandb", "trackio"], ...] = Field(
        (), description="trackers that get a run's figures by their own clients; empty: none"
    )
    refuse_beyond_memory: bool = Field(True, description="refuse a run whose estimate exceeds the available memory")
    pause_below_gb: float = Field(0.3, ge=0, description="available memory, in 10⁹ bytes, below which a run pauses")
    go_on_at_gb: float = Field(0.5, ge=0, description="available memory, in 10⁹ bytes, at which it goes on")
    memory_wait_minutes: float = Field(
        120.0, ge=0, description="longest pause for memory; then the run is stopped, and kept; 0: no bound"
    )
    min_new_examples: int = Field(100, ge=1, description="new accepted examples that make a run due")

    @model_validator(mode="after")
    def _splits_a_whole_base_on_a_cluster(self) -> Train:
        if self.cluster_shard and not self.cluster:
            raise ValueError(
                "cluster_shard is set without a cluster; name one in cluster, or leave cluster_shard out"
            )
        if self.cluster_shard and self.quantise != "none":
            raise ValueError(
                f"cluster_shard cannot split a base in four bits (quantise = '{self.quantise}'); set that to 'none'"
            )
        return self

    @model_validator(mode="after")
    def _goes_on_above_the_pause(self) -> Train:
        if self.go_on_at_gb < self.pause_below_gb:
            raise ValueError(
                f"go_on_at_gb = {self.go_on_at_gb:g} is below pause_below_gb = {self.pause_below_gb:g}; raise it"
            )
        return self


class Teacher(Section):
    """The stronger model that may be asked. Its key comes from the environment alone."""

    kind: str = Field("", description="anthropic, openai (any endpoint of its protocol), or a plug-in's; empty: none")
    model: str = Field("", description="name of the model, as the endpoint knows it")
    base_url: str = Field("", description="address of the endpoint; empty: its maker's")
    key_variable: str = Field(
        "", description="environment variable with the key; empty: ANTHROPIC_API_KEY or OPENAI_API_KEY"
    )
    redact: bool = Field(True, description="whether personal data and secrets are taken out of what is sent")
    requests_per_day: int = Field(200, ge=0, description="requests in a day (UTC); 0: no bound")
    tokens_per_day: int = Field(500_000, ge=0, description="tokens in a day, sent and received; 0: no bound")
    max_output_tokens: int = Field(1024, ge=1, description="longest answer")
    timeout_seconds: float = Field(60.0, gt=0, description="how long to wait for an answer")
    retries: int = Field(3, ge=0, le=20, description="further tries after a failure that may pass")
    max_wait_seconds: float = Field(60.0, ge=0, description="longest wait between tries that an endpoint may ask for")


class Evaluate(Section):
    """What is measured on held-out items."""

    suites: tuple[str, ...] = Field(
        ("perplexity", "routing", "retention", "repetition", "quality"), description="names of suite plug-ins"
    )
    max_items: int = Field(400, ge=1, description="items per suite, drawn by hash")
    max_answers: int = Field(100, ge=1, description="of these, items that are answered in full, which takes longest")
    cache_mb: int = Field(
        256, ge=0, description="what models said, kept for later evaluations, in 10⁶ bytes; 0: nothing"
    )
    resamples: int = Field(2000, ge=100, description="bootstrap resamples")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of the intervals that are shown")


class Gate(Section):
    """When a challenger becomes champion. Figures are starting points of the contract."""

    min_items: int = Field(200, ge=2, description="held-out answers needed for a decision on bits per byte")
    max_worse_chance: float = Field(0.05, gt=0, lt=0.5, description="doubt allowed in a promotion, over all measures")
    not_worse_margin: float = Field(0.01, ge=0, description="relative loss of the primary still 'not worse'")
    routing_margin: float = Field(0.02, ge=0, description="loss of routing accuracy allowed (points / 100)")
    retention_margin: float = Field(0.02, ge=0, description="relative rise of retention perplexity allowed")
