import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from metaprior.data import find
from metaprior.errors import DataError
from metaprior.fields import AnalyticScene, Cameras, converted, read_npz, read_transforms, read_views

SCENE = AnalyticScene("a red ball left of a blue box")


@pytest.fixture
def folder(tmp_path, blender):
    return blender(SCENE, tmp_path)


def changed(folder, change):
    path = folder / "transforms.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def test_blender_files_give_back_the_views(folder):
    views = read_transforms(folder / "transforms.json")
    truth = SCENE.views(views.cameras, supersample=1)
    assert views.cameras.poses[:, :3, 3].norm(dim=1).mean().item() == pytest.approx(
        1 / math.sin(math.radians(20)), rel=0.01
    )
    # The world is framed a little tighter than it was made, so compare with what the same cameras see of it.
    scale = 3 * math.sin(math.radians(20))
    again = SCENE.views(views.cameras.moved(torch.zeros(3), scale), supersample=1)
    assert (views.colour - again.colour).abs().mean() < 2e-3
    assert (views.colour - truth.colour).abs().mean() > 2e-3


def test_nerfstudio_files_with_opencv_poses_mean_the_same(folder):
    expected = read_transforms(folder / "transforms.json")

    def change(content):
        focal = 16 / math.tan(math.radians(20))  # of pictures of twice the size
        content |= {"fl_x": focal, "fl_y": focal, "cx": 16, "cy": 16, "w": 32, "h": 32}
        del content["camera_angle_x"]
        for frame in content["frames"]:
            frame["file_path"] += ".png"
            pose = torch.tensor(frame["transform_matrix"])[None]
            frame["transform_matrix"] = converted(pose, "opencv")[0].tolist()

    views = read_transforms(changed(folder, change), convention="opencv")
    for one, other in zip(views.cameras.rays(), expected.cameras.rays(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_missing_images_and_singular_poses_are_counted_and_named(folder):
    (folder / "train" / "r_3.png").unlink()
    flat = [[1.0, 0, 0, 0]] * 4

    def change(content):
        content["frames"][5]["transform_matrix"] = flat
        content["frames"][6]["transform_matrix"][0][3] = math.inf

    path = changed(folder, change)
    told = (
        r"1 of 10 views with a missing image: \./train/r_3; "
        r"1 of 10 views with a singular pose: \./train/r_5; 1 of 10 views with a pose that is not finite: \./train/r_6"
    )
    with pytest.raises(DataError, match=f"{told}; skip_bad leaves them out"):
        read_transforms(path)
    with pytest.warns(UserWarning, match=told):
        assert len(read_transforms(path, skip_bad=True)) == 7
    for image in (folder / "train").iterdir():
        image.unlink()
    with pytest.raises(DataError, match=r"10 of 10 views with a missing image: .* and 5 more"):
        read_transforms(path, skip_bad=True)


def test_mixed_sizes_are_refused(folder):
    Image.new("RGB", (20, 16)).save(folder / "train" / "r_2.png")
    with pytest.raises(DataError, match=r"images have 2 sizes, such as \(16, 16\) and \(20, 16\); expected one size"):
        read_transforms(folder / "transforms.json")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("{", "is no transforms.json with frames"),
        ("{}", "is no transforms.json with frames"),
        ("[]", "is no transforms.json with frames"),
        ('{"frames": []}', "expected frames, got none"),
    ],
)
def test_damaged_files(tmp_path, content, error):
    (tmp_path / "transforms.json").write_text(content)
    with pytest.raises(DataError, match=error):
        read_views(tmp_path)


def test_a_file_without_a_lens_or_with_a_damaged_image(folder):
    path = changed(folder, lambda content: content.pop("camera_angle_x"))
    with pytest.raises(DataError, match="expected fl_x or camera_angle_x"):
        read_transforms(path)
    (folder / "train" / "r_0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"r_0\.png: is no image"):
        read_transforms(path)


@pytest.mark.parametrize(
    ("name", "value"), [("fl_x", "wide"), ("fl_x", 0), ("w", 0), ("camera_angle_x", -1), ("cx", "a")]
)
def test_a_lens_that_is_none_is_named(folder, name, value):
    path = changed(folder, lambda content: content.update({name: value}))
    with pytest.raises(DataError, match=rf"{name}: expected a (positive )?number, got {value!r}"):
        read_transforms(path)


def test_distortion_is_told(folder):
    path = changed(folder, lambda content: content.update(k1=0.1))
    with pytest.warns(UserWarning, match="lens distortion"):
        read_transforms(path)


def test_splits(folder):
    fitted, held_out = read_views(folder)
    assert (len(fitted), len(held_out)) == (9, 1)
    content = json.loads((folder / "transforms.json").read_text())
    for name, part in (("train", slice(0, 7)), ("test", slice(7, 10))):
        (folder / f"transforms_{name}.json").write_text(json.dumps(content | {"frames": content["frames"][part]}))
    fitted, held_out = read_views(folder)
    assert (len(fitted), len(held_out)) == (7, 3)
    whole = read_transforms(folder / "transforms.json")
    torch.testing.assert_close(held_out.cameras.poses, whole.cameras.poses[7:])
    with pytest.raises(DataError, match="no such file"):
        read_views(folder / "train")


@pytest.mark.parametrize(
    ("pose", "flaw"),
    [
        (None, "pose that is no 4 x 4 matrix"),
        ([[1.0, 0, 0]], "pose that is no 4 x 4 matrix"),
        ([[0.0] * 4] * 4, "singular pose"),
        (np.diag([1.0, 1, 0, 1]).tolist(), "singular pose"),
        (np.diag([1.1, 1.1, 1.1, 1]).tolist(), "pose that scales or shears"),
        (np.diag([0.005, 0.005, 0.005, 1]).tolist(), "pose that scales or shears"),
        (np.diag([1.0, 1, -1, 1]).tolist(), "pose that mirrors"),
    ],
)
def test_what_is_wrong_with_a_pose_is_told(folder, pose, flaw):
    def change(content):
        content["frames"][2]["transform_matrix"] = pose

    with pytest.raises(DataError, match=rf"1 of 10 views with a {flaw}: \./train/r_2"):
        read_transforms(changed(folder, change))


def test_npz(tmp_path):
    cameras = Cameras.on_sphere(4, 8)
    images = (torch.rand(4, 8, 8, 4) * 255).to(torch.uint8)
    path = tmp_path / "a.npz"
    np.savez(path, images=images.numpy(), poses=cameras.poses.numpy(), focal=cameras.focal[0, 0].numpy())
    views = read_npz(path)
    assert views.opacity.shape == (4, 8, 8)
    torch.testing.assert_close(views.colour[0], images[0, ..., :3] / 255 * (images[0, ..., 3:] / 255))
    np.savez(path, images=images.numpy(), poses=np.zeros((4, 4, 4)), focal=1.0)
    with pytest.raises(DataError, match="4 of 4 views with a singular pose: 0, 1, 2, 3"):
        read_npz(path)
    np.savez(path, images=images.numpy())
    with pytest.raises(DataError, match=r"a\.npz: expected an \.npz with images, poses and focal"):
        read_npz(path)
    path.write_bytes(b"PK no zip")
    with pytest.raises(DataError, match=r"expected an \.npz"):
        read_npz(path)


@pytest.mark.skipif(not find("nerf_lego", "lego_train_100.npz"), reason="no nerf_lego under METAPRIOR_DATA")
def test_lego_is_framed():
    views = read_npz(find("nerf_lego", "lego_train_100.npz"))
    assert len(views) == 100
    assert views.cameras.poses[:, :3, 3].norm(dim=1).std() < 0.02
    assert 0.1 < views.opacity.mean() < 0.5
    # What all cameras see lies in the cube: the corners of the pictures are empty.
    assert views.opacity[:, :4, :4].mean() < 0.02
