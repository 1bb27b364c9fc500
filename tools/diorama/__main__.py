"""The command line of the bundled model's making: one command a stage.

In: `python -m tools.diorama STAGE [--cache DIR] [--minutes M] [--device D]`. Out: files in the cache folder, at last in
`assets/diorama`. Does not know: how a stage works.
"""

import argparse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _world(args: argparse.Namespace) -> None:
    from tools.diorama import clips, world

    clips.render_set(args.cache / "held_out", world.held_out_combinations(), 1, first_seed=1000)
    clips.render_set(args.cache / "training", world.training_combinations(), args.n or 10, first_seed=0)


def _autoencoder(args: argparse.Namespace) -> None:
    from tools.diorama import autoencoder

    for stage, share in (("image", 0.28), ("clip", 0.72)):
        autoencoder.train_stage(args.cache, stage, args.minutes * share, args.device)


def _decoder(args: argparse.Namespace) -> None:
    from tools.diorama import autoencoder

    autoencoder.train_stage(args.cache, "decoder", args.minutes, args.device)


def _text(args: argparse.Namespace) -> None:
    from tools.diorama import text

    text.train(args.cache, args.minutes)


def _latents(args: argparse.Namespace) -> None:
    from tools.diorama import autoencoder

    model = autoencoder.load_trained(args.cache).to(args.device)
    for name in ("held_out", "training"):
        autoencoder.encode_set(args.cache, name, model, args.device)


def _dit(args: argparse.Namespace) -> None:
    from tools.diorama import dit

    dit.train(args.cache, args.minutes, args.device, args.compile, args.processes)


def _export(args: argparse.Namespace) -> None:
    from tools.diorama import export

    export.export(args.cache, args.assets)


def _measure(args: argparse.Namespace) -> None:
    import json

    from tools.diorama import card, evaluate

    settings = evaluate.Settings(**json.loads(args.settings))
    measured = evaluate.evaluate(args.assets, args.cache / "sheets", args.n or 200, settings)
    print(json.dumps(measured, indent=1))
    if args.card:
        sizes = evaluate.Bundled(args.assets).num_parameters()
        card.write(args.assets / "card.md", measured, sizes, card.shortcomings(measured))


def _subjects(args: argparse.Namespace) -> None:
    from tools.diorama import clips, measure

    measure.write_looks()
    measure.train_subject_net(clips.load_set(args.cache / "training"))


def _sheet(args: argparse.Namespace) -> None:
    from tools.diorama import evaluate

    evaluate.draw(args.assets, args.cache / "sheets" / "drawn.png", args.n or 24)


STAGES = {
    "world": _world,
    "autoencoder": _autoencoder,
    "decoder": _decoder,
    "text": _text,
    "latents": _latents,
    "dit": _dit,
    "export": _export,
    "subjects": _subjects,
    "measure": _measure,
    "sheet": _sheet,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.diorama", description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "diorama")
    parser.add_argument("--assets", type=Path, default=ROOT / "assets" / "diorama")
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--n", type=int, default=0, help="how many clips (world: per combination)")
    parser.add_argument("--compile", action="store_true", help="compile the network (dit)")
    parser.add_argument("--processes", type=int, default=1, help="that share each batch (dit)")
    parser.add_argument("--card", action="store_true", help="write the figures into card.md (measure)")
    parser.add_argument("--settings", default="{}", help="sampler settings as JSON (measure)")
    args = parser.parse_args()
    STAGES[args.stage](args)


if __name__ == "__main__":
    main()
