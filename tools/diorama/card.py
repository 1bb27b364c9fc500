"""The bundled model's card.

In: what `evaluate.evaluate` measured and the vocabulary. Out: `card.md`. Does not know: how anything was measured.
"""

from pathlib import Path

from tools.diorama import world

TEMPLATE = """# diorama

The bundled model of Storyboard Studio: a small text- and image-to-video diffusion transformer of the Cosmos-Predict2
architecture. It draws papercut dioramas: {width} x {height} pixels, {frames} frames, {fps} frames a second; one subject
in one colour, moving in one way before one setting. It exists so that everything in the studio can be tried at once, on
any machine; it knows nothing else of the world.

Licence: Apache-2.0. It was trained from nothing but pictures rendered for it; `tools/diorama/README.md` says how to
make it again.

## What it can draw
| | |
|---|---|
| subjects | {subjects} |
| colours | {colours} |
| motions | {motions} |
| settings | {settings} |

It knows about eight ways to say each motion and each setting, and several words for subjects and colours:
`vocabulary.json` lists them all. Words outside the list are ignored at best. Up to 32 tokens are read.

## Parts
| part | sizes | parameters |
|---|---|---|
| diffusion transformer | width 224, 6 blocks, 4 heads, 32 latent channels, patch 2, learnable positions | {network} |
| autoencoder (`AutoencoderKLWan`) | 8 times smaller in space, 4 times in time, 32 channels | {autoencoder} |
| text encoder (`T5EncoderModel`) | width 128, 2 layers, BPE vocabulary of 512 | {text} |

## Measured
All on combinations never shown in training (200 of 900 are held out), from pixels: `python -m tools.diorama measure`.
Sampler {sampler}, {num_steps} steps, guidance {guidance_scale}, sigmas {sigma_max} to {sigma_min} (rho {rho}).

| per cent right | n | setting | colour | motion | subject | all four |
|---|---|---|---|---|---|---|
{rows}

- First frame of image-to-video against the given picture: {first_mean} dB on average, {first_worst} dB at worst.
- Autoencoder on whole clips: {db_mean} dB on average, {db_worst} dB at worst.
- One clip takes {seconds} s on two CPU cores, in float32.
- A small network reads the subject; it is itself right on 98 to 99% of rendered clips.

## Where it falls short
{shortcomings}
"""


def _row(name: str, figures: dict) -> str:
    cells = (figures[k] for k in ("setting", "colour", "motion", "subject", "all_four"))
    return f"| {name} | {figures['n']} | " + " | ".join(f"{v:g}" for v in cells) + " |"


def write(path: Path, measured: dict, num_parameters: dict[str, int], shortcomings: str) -> None:
    names = {
        "text_to_video": "text to video",
        "image_to_video": "image to video, from a still, centred picture",
        "autoencoder": "autoencoder's reconstructions",
    }
    first = measured["image_to_video"]["first_frame_db"]
    path.write_text(
        TEMPLATE.format(
            width=world.WIDTH_PX,
            height=world.HEIGHT_PX,
            frames=world.NUM_FRAMES,
            fps=world.FPS,
            subjects=", ".join(world.SUBJECTS),
            colours=", ".join(world.COLOURS),
            motions=", ".join(world.MOTIONS),
            settings=", ".join(world.SETTINGS),
            rows="\n".join(_row(label, measured[key]) for key, label in names.items()),
            first_mean=first["mean"],
            first_worst=first["worst"],
            db_mean=measured["autoencoder"]["db_mean"],
            db_worst=measured["autoencoder"]["db_worst"],
            seconds=measured["seconds_a_clip"],
            shortcomings=shortcomings,
            **{k: f"{v / 1e6:.2f} M" for k, v in num_parameters.items()},
            **measured["settings"],
        )
    )


def shortcomings(measured: dict) -> str:
    """The commonest confusions in words."""
    confused = measured["text_to_video"]["confusions"]
    listed = "; ".join(
        f"a {pair.replace(' as ', ' read as a ')} ({count})" for pair, count in list(confused.items())[:5]
    )
    lines = [
        f"- Commonest mistakes of text-to-video, of {measured['text_to_video']['n']} clips: {listed or 'none'}.",
        "- Small parts smear while the subject moves: sails, fins, wheels and the balloon's string.",
        "- Stars and the smallest background details are lost by the autoencoder.",
        "- A second subject, a second motion or any camera movement cannot be asked for.",
    ]
    return "\n".join(lines)
