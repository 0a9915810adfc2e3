"""Settings of recordings and folds."""

from dataclasses import dataclass, field
from typing import Literal

from serjax.audio.highpass import Cutoff
from serjax.audio.vad import Activity
from serjax.runtime.constraints import AtLeastOne, ClipSeconds, Share
from serjax.runtime.errors import UserError


@dataclass(frozen=True)
class SyntheticConfig:
    """Size of the corpus that corpus=synthetic renders; others are as large as they are."""

    speakers: AtLeastOne = 10
    """Voices; their base pitches spread over 90 to 240 Hz."""
    clips_per_class: AtLeastOne = 100
    """Clips of each emotion, shared by the speakers in turn."""
    texts: AtLeastOne = 10
    """Different texts; a speaker's clips of an emotion say them in turn."""


@dataclass(frozen=True)
class DataConfig:
    """Recordings, and how a clip becomes an input."""

    root: str = ""
    """Folder of recordings, or a list file (.tsv, .txt, .scp, .csv, .jsonl), or the URL of one (gs://, s3://, hf://).
    A set or its name with corpus=tfds, hf or audformat. Empty with corpus=synthetic."""
    corpus: Literal[
        "auto",
        "folder",
        "ravdess",
        "ravdess_song",
        "ravdess_all",
        "emodb",
        "cremad",
        "savee",
        "nemo",
        "tess",
        "esd",
        "urdu",
        "emovo",
        "aesdd",
        "cafe",
        "jl",
        "subesco",
        "shemo",
        "emovdb",
        "iemocap",
        "iemocap7",
        "meld",
        "msp_podcast",
        "msp_improv",
        "baum1s",
        "tsv",
        "scp",
        "csv",
        "jsonl",
        "tfds",
        "hf",
        "audformat",
        "synthetic",
    ] = "auto"
    """Layout of root. auto looks at names of files and folders, and at lists of labels, for one of the corpora here;
    else a folder a class, or a list by its suffix. folder: the first folders are the classes, whatever their names.
    ravdess is its speech, ravdess_song its songs; iemocap has four classes, iemocap7 seven. auto knows no sets: of
    TensorFlow Datasets (tfds), Hugging Face's datasets (hf) and audformat."""
    split: str | None = None
    """Read this split of a set alone (corpus=tfds, hf or audformat), such as train; by default all of them."""
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
    audio_root: str | None = None
    """Folder, or URL, where relative paths of a list start; by default the folder that holds the list."""
    columns: tuple[str, ...] = ()
    """Columns of a list or features of a set that are not called as what they hold: path=file_id label=emotion
    speaker=speaker_id; also id, session, start, end, text (the sentence), gender and age. Usual names are known without
    it, and said. Any other name is a value, as in arousal=act; votes.angry=n_angry are the annotators who gave a
    label."""
    label_map: str | None = None
    """JSON file that maps a corpus's labels to the experiment's ({"exc": "happy"}); unmapped labels are an error."""
    labels: tuple[str, ...] | None = None
    """Use only clips with these labels, in this order of classes; by default all labels, sorted."""
    speaker_pattern: str | None = None
    """Regular expression on the clip's path below root; its group `speaker`, its only group or the whole match names
    the speaker."""
    label_pattern: str | None = None
    """Regular expression on the clip's path below root; its group `label`, its only group or the whole match is the
    label, in place of the folder's name."""
    speakers: Literal["auto", "unknown"] = "auto"
    """auto stops where no speaker is named and the clips' names seem to hold them, and offers a pattern. unknown goes
    on without."""
    max_seconds: ClipSeconds = 3.0
    """Length in s of a training crop, and the longest stretch of a clip that models hear at once."""
    eval_crop: Literal["head", "centre"] = "head"
    """Part of a longer clip that validation and test use; prediction answers all of it, by windows."""
    skip_bad: bool = False
    """Skip unreadable, empty, too short or NaN clips with a list of them, instead of stopping before training."""
    cache: str | None = None
    """Folder of decoded clips and of a frozen encoder's features; by default beside the run folder."""
    keep_decoded: bool = True
    """Keep decoded clips in the cache. If not, only an index of them is kept, and each is decoded whenever it is read,
    for a corpus larger than the disk. No number depends on it. Frames of videos are always kept."""
    vad: Activity = "none"
    """Leave out silence when clips are decoded: by energy, or by the network of silero-vad (packages silero-vad,
    onnxruntime)."""
    highpass: Cutoff | None = None
    """High-pass filter (second-order Butterworth) of so many Hz for clips when they are decoded, and in prediction with
    the run: 20 removes a DC offset and rumble."""
    max_clips: AtLeastOne | None = None
    """Use only this many clips, an even share of every class (for a quick look)."""

    def check(self) -> None:
        """Refuse to name speakers and not to."""
        if self.speakers == "unknown" and self.speaker_pattern is not None:
            raise UserError("data.speakers is unknown, but data.speaker_pattern names them; leave out one of them.")


@dataclass(frozen=True)
class FoldsConfig:
    """Division of clips into folds."""

    kind: Literal[
        "auto",
        "stratified",
        "speaker",
        "leave_speaker_out",
        "leave_session_out",
        "parts",
        "split",
        "split_speakers",
        "speaker_groups",
        "every_tenth",
        "files",
    ] = "auto"
    """auto: by speaker where every clip names one, else stratified by label. parts (train, dev and test as the corpus
    is published), split, split_speakers and every_tenth (of a class is tested) make one fold."""
    count: AtLeastOne = 5
    """Number of folds (stratified, speaker)."""
    path: str | None = None
    """kind=files: a folds.json of an earlier run, or a folder in EmoBox's layout of fold_N."""
    split: tuple[Share, Share] = (0.7, 0.15)
    """kind=split: shares of every class for training and validation; the rest is tested."""
    validation_speakers: tuple[str, ...] = ()
    """kind=split_speakers: speakers of the validation part; by default a share of the others, as in any fold."""
    test_speakers: tuple[str, ...] = ()
    """kind=split_speakers: speakers of the test part."""
    groups: tuple[str, ...] = ()
    """kind=speaker_groups: for each fold the speakers that it tests, separated by commas, such as 01,11,20,21."""
    disjoint: Literal["text"] | None = None
    """text: also keep sentences apart. Clips whose sentence a fold tests are left out of its training and validation;
    their names or a list's column text must say it."""
    text_groups: AtLeastOne | None = None
    """disjoint=text: groups of sentences, of which each fold tests one, so that there are so many times as many folds.
    By default one; or two where speakers say the same sentences, and one would leave too little to train on."""
    only: tuple[int, ...] | None = None
    """Train only these folds, counted from 1; their numbers are the same as with all of them. Jobs that train
    the others at the same time need --job."""
    validation: Literal["train", "test"] = "train"
    """Early stopping watches clips held out of the training part, or (as many notebooks do) the test fold itself."""
    validation_share: Share = 0.2
    """Share of the training part's clips (of its speakers where they are known) that is held out for validation."""
    allow_speaker_overlap: bool = False
    """Accept folds in which a speaker stands on both sides; the report says so."""
    together: Literal["auto", "yes", "no"] = "auto"
    """Train all folds in one vmapped step, or one after the other; auto knows what is faster where, and says so."""
    at_once: AtLeastOne | None = None
    """Of the folds (times seeds) that train together, at most so many at once, the others after them; by default as
    many as fit in the memory of a GPU or TPU. No number depends on it."""

    def check(self) -> None:
        """Refuse a path, or groups of sentences, that are not asked for."""
        if self.path is not None and self.kind != "files":
            raise UserError(
                "folds.path is given, but folds.kind is not files; say --folds.kind files, or leave it out."
            )
        if self.text_groups is not None and self.disjoint != "text":
            raise UserError(
                "folds.text_groups is given, but folds.disjoint is not text; say --folds.disjoint text, or leave it "
                "out."
            )
