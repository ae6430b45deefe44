"""Command lines for the help of each command; tests parse them."""

from __future__ import annotations

RANKING = "color,translate,zoom,rotate,darken,blur"

EXAMPLES: dict[str, tuple[str, ...]] = {
    "": (
        "dps-infer demo",
        f"dps-infer compare a.png b.png --ranking {RANKING}",
        "dps-infer folder baselines/ screenshots/ --context-name ui-regression",
    ),
    "compare": (
        f"dps-infer compare a.png b.png --ranking {RANKING}",
        "dps-infer compare a.png b.png c.png --context-name print-inspection --threshold 0.2",
        "dps-infer compare a.png b.png --context ctx.onnx --map heat.png --overlay --legend",
        "curl -s URL | dps-infer compare a.png - --context-name general --json",
    ),
    "rank": (
        "dps-infer rank a.png b.png c.png d.png --context-name general",
        "dps-infer rank a.png candidates/*.png --ranking color,blur --ranking blur,color",
    ),
    "folder": (
        "dps-infer folder baselines/ screenshots/ --context-name ui-regression",
        "dps-infer folder baselines/ screenshots/ --ranking color,blur --threshold 0.05 -o r.csv",
        "dps-infer folder baselines/ screenshots/ --approve 'charts/**' --junit junit.xml",
    ),
    "config": (
        "dps-infer config",
        "dps-infer config baselines/start-page.png --json",
    ),
    "batch": (
        "dps-infer batch pairs.csv -o results.csv --ranking color,blur",
        "dps-infer batch pairs.csv -o results.csv --ranking color,blur --resume",
    ),
    "video": (
        "dps-infer video a.mp4 b.mp4 -o compared/ --context-name video-coding",
        "dps-infer video a.mp4 b.mp4 -o compared/ --context-name video-coding --every 10",
    ),
    "report": (
        "dps-infer report results.csv -o report.html",
        "dps-infer report results.csv --ranking color,blur --threshold 0.05 --force",
    ),
    "calibrate": (
        "dps-infer calibrate acceptable.csv --ranking color,blur --false-alarms 0.01 -o t.json",
    ),
    "serve": ("dps-infer serve --stdio --ranking color,blur",),
    "demo": ("dps-infer demo", "dps-infer demo -o somewhere --force", "dps-infer demo --page"),
    "info": ("dps-infer info", "dps-infer info ctx.onnx --all", "dps-infer info ctx.onnx --json"),
    "doctor": ("dps-infer doctor", "dps-infer doctor --json"),
}
"""By the name of the command of ``dps-infer``; the empty name is that of all of them."""

CONTEXTS: dict[str, tuple[str, ...]] = {
    "": ("PROGRAM contexts list", "PROGRAM contexts show print-inspection"),
    "list": ("PROGRAM contexts list", "PROGRAM contexts list --json"),
    "show": ("PROGRAM contexts show print-inspection",),
    "compare": ("PROGRAM contexts compare print-inspection map-rendering",),
    "merge": ("PROGRAM contexts merge print-inspection camera-pipeline -o both --weight 0.3",),
    "save": (
        'PROGRAM contexts save labels --ranking translate,color,blur --why "labels slip"',
        "PROGRAM contexts save labels --importance color=0.1,blur=5 --why agreed --here",
    ),
    "delete": ("PROGRAM contexts delete labels",),
}
"""The same for ``contexts``, which several programs have; the help names the one that runs."""
