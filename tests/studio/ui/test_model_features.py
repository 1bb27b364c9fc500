"""The ways of using a model, each from the page: first frames, clips, parts, sizes, models."""

from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from studio.document.edits import ChangeScene, ChangeStoryboard
from studio.document.storyboard import Conditioning, Scene, Storyboard
from tests.studio.ui.conftest import NARROW, SCREENSHOTS, WIDE, ServedStudio, Visitor, wait_for
from tests.take_files import write_clip

SHORT = Scene(id="a", prompt="a red ball", duration_s=2.0)
LONG = Scene(id="a", prompt="a red ball", duration_s=5.0)


@pytest.fixture
def served(feature_studio: ServedStudio) -> ServedStudio:
    """One with variants of the bundled model."""
    return feature_studio


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames of 48 x 32."""
    path = tmp_path_factory.mktemp("media") / "holiday.mp4"
    writer = imageio_ffmpeg.write_frames(str(path), (48, 32), fps=8, macro_block_size=16)
    writer.send(None)
    for shade in range(12):
        writer.send(np.full((32, 48, 3), 20 * shade, dtype=np.uint8))
    writer.close()
    return path


def scene_of(served: ServedStudio, project: str) -> Scene:
    return served.studio.projects.open(project).storyboard.scene("a")


def words_of(served: ServedStudio, project: str) -> Storyboard:
    return served.studio.projects.open(project).storyboard


# ---- first frames
def test_the_first_frame_is_shown_made_anew_and_kept(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(SHORT, model="animator")
    page = visitor.tab(project, "a")
    frame = page.locator(".first-frame")
    expect(frame).to_contain_text("made by Test Painter")
    expect(page.locator("#another-picture")).to_be_hidden()
    page.locator("#render-scene").click()
    picture = frame.locator("img")
    expect(picture).to_be_visible()
    wait_for(lambda: picture.evaluate("image => image.naturalWidth") > 0)
    before = picture.get_attribute("src")
    page.locator("#another-picture").click()
    expect(picture).not_to_have_attribute("src", before or "")
    seed = scene_of(served, project).first_frame.seed
    assert seed is not None
    page.locator("#keep-picture").click()
    wait_for(lambda: scene_of(served, project).conditioning is not None)
    expect(frame).to_be_hidden()
    expect(page.locator(".drop-zone .words")).to_contain_text("first frame of scene 1")
    page.locator(".undo").click()
    expect(frame).to_be_visible()
    assert scene_of(served, project).conditioning is None


def test_the_first_frame_has_words_of_its_own(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(SHORT, model="animator")
    page = visitor.tab(project, "a")
    page.locator(".own-words summary").click()
    page.locator("#field-first-prompt").press_sequentially("the ball alone")
    wait_for(lambda: scene_of(served, project).first_frame.prompt == "the ball alone")
    page.reload()
    expect(page.locator("#field-first-prompt")).to_have_value("the ball alone")
    expect(page.locator("#field-first-prompt")).to_be_visible()


def test_nothing_is_shown_that_the_model_cannot_do(served: ServedStudio, visitor: Visitor) -> None:
    page = visitor.tab(served.project(SHORT), "a")
    for there in ("#field-prompt", "#field-negative", ".drop-zone"):
        expect(page.locator(there)).to_be_visible()
    for absent in (".first-frame", ".clip-choices", ".parts-field"):
        expect(page.locator(absent)).to_be_hidden()
    teller = visitor.tab(served.project(SHORT, model="teller"), "a")
    expect(teller.locator(".drop-zone")).to_be_hidden()


# ---- clips
def test_a_clip_gives_its_last_frames_or_is_re_imagined(served: ServedStudio, visitor: Visitor, clip: Path) -> None:
    project = served.project(SHORT, model="animator")
    page = visitor.tab(project, "a")
    page.locator("#field-conditioning").set_input_files(clip)
    frames = page.locator("#field-frames")
    expect(frames).to_have_value("5")
    assert frames.locator("option").all_inner_texts() == ["1 frame", "5 frames"]
    assert frames.locator("option:disabled").count() == 0
    frames.select_option("1")
    wait_for(lambda: conditioning(served, project).num_frames == 1)
    page.get_by_role("radio", name="Re-imagine it").check(force=True)
    wait_for(lambda: strengths(served, project) == (0.8, 0.4))
    expect(frames).to_be_hidden()
    expect(page.locator("#field-strength-hint")).to_have_text("0.80 · mostly new")
    page.locator("#field-strength").press("Home")
    page.locator("#field-first-frame-strength").press("End")
    wait_for(lambda: strengths(served, project) == (0.0, 1.0))
    page.keyboard.press("Control+z")
    wait_for(lambda: strengths(served, project) == (0.0, 0.4))
    page.keyboard.press("Control+Shift+z")
    wait_for(lambda: strengths(served, project) == (0.0, 1.0))
    page.get_by_role("radio", name="Start from its end").check(force=True)
    wait_for(lambda: strengths(served, project) == (None, None))
    page.locator(".undo").click()
    expect(page.locator("#field-strength")).to_be_visible()
    assert strengths(served, project) == (0.0, 1.0)


def test_more_frames_than_the_clip_has_cannot_be_chosen(served: ServedStudio, visitor: Visitor, tmp_path: Path) -> None:
    write_clip(tmp_path / "short.mp4", 3, (48, 32), 8, (9, 99, 9))
    page = visitor.tab(served.project(SHORT, model="animator"), "a")
    page.locator("#field-conditioning").set_input_files(tmp_path / "short.mp4")
    frames = page.locator("#field-frames")
    expect(frames).to_have_value("1")
    expect(frames.locator("option:disabled")).to_have_text("5 frames: the clip has 3")


def test_a_model_that_starts_from_no_frames_re_imagines_a_clip(
    served: ServedStudio, visitor: Visitor, clip: Path
) -> None:
    project = served.project(SHORT, model="dreamer")
    page = visitor.tab(project, "a")
    expect(page.locator(".pick")).to_have_text("Choose or drop a clip")
    page.locator("#field-conditioning").set_input_files(clip)
    wait_for(lambda: scene_of(served, project).conditioning is not None)
    assert strengths(served, project) == (0.8, None)
    expect(page.locator("#field-strength")).to_be_visible()
    for absent in ("#clip-way", "#field-frames", "#field-first-frame-strength", "#field-first-frame"):
        expect(page.locator(absent)).to_be_hidden()


def test_a_first_frame_is_kept_where_no_picture_model_changes_it(
    served: ServedStudio, visitor: Visitor, clip: Path
) -> None:
    project = served.project(SHORT)
    page = visitor.tab(project, "a")
    page.locator("#field-conditioning").set_input_files(clip)
    page.get_by_role("radio", name="Re-imagine it").check(force=True)
    wait_for(lambda: strengths(served, project) == (0.8, None))
    page.locator("#field-first-frame").select_option("Kept as it is")
    wait_for(lambda: strengths(served, project) == (0.8, 0.0))
    page.locator("#field-first-frame").select_option("Re-imagined with the rest")
    wait_for(lambda: strengths(served, project) == (0.8, None))
    assert page.locator("#field-first-frame").input_value() == "" and visitor.wrongs == []


def conditioning(served: ServedStudio, project: str) -> Conditioning:
    found = scene_of(served, project).conditioning
    assert found is not None
    return found


def strengths(served: ServedStudio, project: str) -> tuple[float | None, float | None]:
    found = conditioning(served, project)
    return found.strength, found.first_frame_strength


# ---- parts
def test_a_long_scene_has_a_prompt_for_each_part(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(LONG, model="animator")
    page = visitor.tab(project, "a")
    starts = served.studio.views.board(project).scenes[0].chunk_starts_s
    expect(page.locator(".parts-field .aside")).to_contain_text(f"{len(starts)} parts")
    page.get_by_role("radio", name="One for each part").check(force=True)
    parts = page.locator(".parts textarea")
    expect(parts).to_have_count(len(starts) - 1)
    expect(page.locator(".parts .hint").first).to_have_text(f"{starts[1]:.1f} to {starts[2]:.1f} s")
    parts.first.press_sequentially("it stops")
    wait_for(lambda: scene_of(served, project).chunk_prompts[:1] == ("it stops",))
    assert parts.first.input_value() == "it stops"
    page.get_by_role("radio", name="One prompt for all").check(force=True)
    wait_for(lambda: scene_of(served, project).chunk_prompts == ())
    expect(parts).to_have_count(0)
    page.locator(".undo").click()
    expect(parts.first).to_have_value("it stops")


def test_two_tabs_on_the_parts_show_both_versions(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(LONG.model_copy(update={"chunk_prompts": ("it stops",)}), model="animator")
    page = visitor.tab(project, "a")
    page.route("**/component_server**", lambda route: (theirs(served, project), route.continue_()), times=1)
    page.locator(".parts textarea").first.press_sequentially(" now", delay=0)
    conflict = page.locator(".conflict:visible")
    expect(conflict).to_contain_text("it flies")
    conflict.get_by_role("button", name="Take theirs").click()
    expect(page.locator(".parts textarea").first).to_have_value("it flies")


def theirs(served: ServedStudio, project: str) -> None:
    """What another tab saves first."""
    edit = ChangeScene(scene_id="a", field="chunk_prompts", value=["it flies"])
    served.studio.projects.edit(project, served.studio.projects.open(project).revision, edit)


# ---- sizes
def test_a_size_of_ones_own_is_two_numbers_on_the_grid(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(SHORT, model="animator")
    page = visitor.tab(project, "a")
    page.get_by_role("tab", name="Film").click()
    shape, notes = page.locator("#field-aspect"), page.locator("[aria-label='Whole film'] .plan-notes")
    assert shape.locator("option").all_inner_texts() == ["3:2 · 96 × 64", "1:1 · 64 × 64", "Own size…"]
    shape.select_option("own")
    wait_for(lambda: words_of(served, project).size_px == (96, 64))
    expect(notes).to_be_empty()
    typed(page, "#field-width", "80")
    wait_for(lambda: words_of(served, project).size_px == (80, 64))
    expect(notes).to_contain_text("80 x 64 is not a size that Test Animator was trained at")
    typed(page, "#field-height", "70")
    expect(page.locator(".what-words")).to_contain_text("multiples of 16")
    expect(notes).to_contain_text("Nearest are")
    shape.select_option("1:1")
    wait_for(lambda: (words_of(served, project).size_px, words_of(served, project).aspect) == (None, "1:1"))
    expect(page.locator("#field-width")).to_be_hidden()


def typed(page: Page, field: str, text: str) -> None:
    """Written over what stands there, and left."""
    page.locator(field).click()
    page.keyboard.press("Control+a")
    page.keyboard.type(text)
    page.keyboard.press("Tab")


# ---- joint models
def test_a_joint_model_shows_whole_segments_and_what_it_means(served: ServedStudio, visitor: Visitor) -> None:
    scenes = (Scene(id="a", prompt="a red ball", duration_s=5.0), Scene(id="b", prompt="a blue boat", duration_s=3.0))
    project = served.project(*scenes, model="teller")
    page = visitor.tab(project, "a")
    expect(page.locator("#field-duration-hint")).to_have_text("2 × 3 s")
    expect(page.locator("#card-a .length")).to_have_text("6.1 s")
    expect(page.locator("#render-scene")).to_have_text("Render all scenes")
    page.get_by_role("radio", name="One for each part").check(force=True)
    expect(page.locator(".parts .hint")).to_have_text("3 to 6 s")
    page.get_by_role("tab", name="Film").click()
    expect(page.locator("#model-together")).to_contain_text("All scenes are rendered together, in 3 segments of 3 s")
    notes = page.locator("[aria-label='Whole film'] .plan-notes")
    expect(notes).to_contain_text("tokens together")
    assert "no weights" not in notes.inner_text()
    served.studio.projects.edit(
        project, served.studio.projects.open(project).revision, ChangeScene(scene_id="b", field="duration_s", value=6.0)
    )
    expect(notes).to_contain_text("no weights of Test Teller were trained for 4 segments (but for 1, 3)")


# ---- models
def test_models_are_found_by_family_and_may_be_chosen_before_they_are_here(
    served: ServedStudio, visitor: Visitor
) -> None:
    project = served.project(SHORT)
    page = visitor.tab(project, "a")
    page.get_by_role("tab", name="Film").click()
    chosen = page.locator("#field-model")
    expect(chosen).to_contain_text("Diorama")
    expect(page.locator(".chips li")).to_contain_text(["from words", "from a picture", "from a clip"])
    chosen.click()
    find, options = page.locator("#model-find"), page.get_by_role("option").filter(has=page.locator(".here"))
    expect(find).to_be_focused()
    expect(options.first).to_contain_text("here")
    expect(page.locator(".model-list h3").first).to_have_text("Diorama")
    assert options.count() == len(served.studio.rendering.models())
    find.press_sequentially("predict1 7b video")
    expect(options.locator("visible=true")).to_have_count(1)
    expect(page.locator(".models .missing-model")).to_contain_text(
        "storyboard models get cosmos-predict1-7b-video2world"
    )
    page.keyboard.press("Enter")
    wait_for(lambda: words_of(served, project).model == "cosmos-predict1-7b-video2world")
    expect(page.locator("dialog")).to_have_count(0)
    expect(chosen).to_be_focused()
    expect(page.locator("#model-missing code")).to_have_text("storyboard models get cosmos-predict1-7b-video2world")
    expect(page.locator(".what-words")).to_contain_text("cannot be used")
    expect(page.locator("#card-a .state")).to_have_text("waits for the model")
    expect(page.locator(".plan-notes li:visible")).to_have_count(1)  # its shape: the model makes no 3:2
    expect(page.locator("#card-a .warn")).to_be_hidden()
    expect(page.locator("#render-film")).to_be_disabled()
    page.get_by_role("tab", name="Scene").click()
    for asks in ("#render-scene", "#another-take"):
        expect(page.locator(asks)).to_be_disabled()
    page.get_by_role("tab", name="Film").click()
    page.locator(".undo").click()
    expect(chosen).to_contain_text("Diorama")


def test_the_list_of_models_closes_without_a_choice(served: ServedStudio, visitor: Visitor) -> None:
    project = served.project(SHORT)
    page = visitor.tab(project, "a")
    page.get_by_role("tab", name="Film").click()
    page.locator("#field-model").click()
    page.locator("#model-find").fill("test")
    expect(page.locator(".model-row.marked")).to_contain_text("here")
    page.locator("#model-find").fill("dfm-dit-l")
    expect(page.locator(".model-row.marked .name")).to_have_text("DFM DiT-L")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    assert words_of(served, project).model == "diorama"


# ---- for those who listen, and those who use keys
def test_every_new_control_has_a_name_and_is_reached_by_keys(
    served: ServedStudio, visitor: Visitor, clip: Path
) -> None:
    project = served.project(LONG.model_copy(update={"chunk_prompts": ("it stops",)}), model="animator")
    info = served.studio.projects.add_media(project, clip, clip.name)
    wish = {"media": info.sha256, "num_frames": 1, "strength": 0.8, "first_frame_strength": 0.4}
    edit = ChangeScene(scene_id="a", field="conditioning", value=wish)
    served.studio.projects.edit(project, served.studio.projects.open(project).revision, edit)
    page = visitor.tab(project, "a")
    expect(page.locator("#field-strength")).to_be_visible()
    assert nameless(page) == []
    page.locator("#field-prompt").focus()
    reached = keys_go_through(page, 24)
    assert {
        "parts-way-each",
        "field-part-2",
        "clip-way-again",
        "field-strength",
        "field-first-frame-strength",
    } <= reached
    page.get_by_role("tab", name="Film").click()
    page.locator("#field-aspect").select_option("own")
    assert nameless(page) == []
    page.locator("#field-look").focus()
    assert {"field-model", "field-aspect", "field-width", "field-height", "field-fps"} <= keys_go_through(page, 9)


def nameless(page: Page) -> list[str]:
    """Controls that say nothing to a screen reader."""
    return page.evaluate(
        """() => [...document.querySelectorAll('#studio :is(button, input, select, textarea)')]
            .filter((node) => !(node.getAttribute('aria-label') || node.textContent.trim() || node.labels?.length))
            .map((node) => node.outerHTML.slice(0, 120))"""
    )


def keys_go_through(page: Page, num_stops: int) -> set[str]:
    reached: set[str] = set()
    for _ in range(num_stops):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    return reached


@pytest.mark.parametrize(("size", "name"), [(WIDE, "1280"), (NARROW, "390")])
def test_nothing_is_wider_than_its_place(
    served: ServedStudio, visitor: Visitor, size: dict[str, int], name: str
) -> None:
    """With pictures to look at: a made first frame, parts, an own size, the list of models."""
    SCREENSHOTS.mkdir(exist_ok=True)
    project = served.project(LONG.model_copy(update={"chunk_prompts": ("it stops",)}), model="animator")
    served.studio.projects.edit(
        project, served.studio.projects.open(project).revision, ChangeStoryboard(field="size_px", value=[80, 64])
    )
    served.studio.rendering.render(project)
    wait_for(lambda: served.studio.views.board(project).scenes[0].first_frame.media)
    page = visitor.tab(project, "a", fresh=True)
    page.set_viewport_size(size)  # pyright: ignore[reportArgumentType]
    page.locator("#card-a").click()
    expect(page.locator(".first-frame img")).to_be_visible()
    seen = {"scene": lambda: None, "film": page.get_by_role("tab", name="Film").click}
    seen["models"] = page.locator("#field-model").click
    for what, act in seen.items():
        act()
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)  # pyright: ignore[reportArgumentType]
            page.evaluate("() => new Promise((done) => setTimeout(done, 350))")
            page.screenshot(path=SCREENSHOTS / f"{what}-{name}-{scheme}.png")
        wide = (
            "[...document.querySelectorAll('.inspector-scroll, .model-list')].map((n) => n.scrollWidth - n.clientWidth)"
        )
        assert max(page.evaluate(wide)) <= 0, what
