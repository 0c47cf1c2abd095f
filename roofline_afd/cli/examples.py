"""Two or three examples of each command, for the end of its help."""

from __future__ import annotations

ONE = "-s h800 -m deepseek-v3"
EXAMPLES = {
    "compare": (
        f"{ONE}",
        f"{ONE} --tpot-ms 30 --context 32k --levers",
        "-s h800 -m deepseek-v3 --attention-system h20 --why",
    ),
    "what-if": (
        f"{ONE} --change scale_out_gb_per_s=100",
        f"{ONE} --change tpot_ms=30 --change accept_length=1.8",
    ),
    "sensitivity": (f"{ONE}", f"{ONE} --uncertainty scale_out_gb_per_s=40:50 --samples 0"),
    "predict": (
        f"{ONE} --devices 96 --batch 96",
        f"{ONE} --mode afd --attention-devices 96 --ffn-devices 80 --largest-batch",
    ),
    "roofline": (f"{ONE}", f"{ONE} --ffn-nodes 1,2,4,8 --columns ffn_nodes,hfu,regime"),
    "imbalance": (
        "--attention-nodes 6 --ffn-nodes 2 --sigma 0.7,0.8,0.9",
        "--attention-nodes 6 --ffn-nodes 2 --zipf 0.5 --model deepseek-v3",
    ),
    "provision": (
        f"{ONE} --prompt-mean 1000 --decode-mean 500",
        "--coefficients 0.0002,20,0.083,100,0.022,20 --prompt-mean 1000 --decode-mean 500",
    ),
    "simulate": (
        f"{ONE} --prompt-mean 1000 --decode-mean 500 --r 1:8",
        f"{ONE} --trace requests.csv --batch 128",
    ),
    "explore": (
        f"{ONE} --workload chat --devices 64 --tpot-ms 50",
        f"{ONE} --isl 4096 --osl 512 --frontier -o frontier.csv",
    ),
    "load": (
        f"{ONE} --workload chat --devices 64 --tpot-ms 50",
        f"{ONE} --workload chat --devices 64 --requests-per-s 5,10 --ttft-ms 2000",
    ),
    "procure": (
        "-s b200,h200,mi355x -m deepseek-v3 --demand 1M",
        "-s b200,h200 -m deepseek-v3 --requests-per-s 50 --isl 4096 --osl 512",
    ),
    "deploy": (
        f"--for vllm {ONE} --engine vllm --devices 32 --batch 64 --mode ep",
        "--for sglang --from answer.json --folder launch",
    ),
    "sweep": (
        f"{ONE} --axis context=1k:64k*2 --axis tpot_ms=20,50 -o grid.csv",
        f"--of roofline {ONE} --axis ffn_nodes=1:40 --reduce best:hfu",
    ),
    "report": ("-s b200,h200 -m deepseek-v3 --demand 1M -o report.html",),
    "explain": ("hfu", f"weight_time {ONE}", "expert-precision"),
    "validate": ("", "mine.csv", "--operators times.csv"),
    "calibrate": ("times.csv", "times.csv -o records"),
    "plot roofline": (f"{ONE} -o roofline.svg", f"{ONE} --ffn-nodes 1:32 -o roofline.html"),
    "plot dead-zone": (f"{ONE} -o dead-zone.svg",),
    "plot breakdown": (f"{ONE} --mode afd -o breakdown.png",),
    "plot afd-vs-ep": (f"{ONE} -o modes.html", f"{ONE} --tpot-range 20,100 -o modes.svg"),
    "plot hfu-map": (f"{ONE} -o map.svg", f"{ONE} --metric hfu --save-answer map.json -o map.html"),
    "plot pareto": (f"{ONE} --workload chat --devices 64 -o pareto.svg",),
    "plot pareto-panels": ("-s h800 -m deepseek-v3,step-3 --devices 64 -o panels.svg",),
    "plot tornado": (f"{ONE} -o tornado.svg",),
    "plot load": (f"{ONE} --workload chat --devices 64 --tpot-ms 50 -o load.svg",),
    "plot sweep": ("--file grid.csv --metric tokens_per_s_per_device -o grid.svg",),
    "plot ratio": (f"{ONE} --prompt-mean 1000 --decode-mean 500 -o ratio.svg",),
    "plot fabric": ("-s gb200-nvl72,h800 -m deepseek-v3 -o fabric.svg",),
    "plot procurement": ("-s b200,h200 -m deepseek-v3 --demand 1M -o cost.svg",),
    "hardware list": (
        "--class superpod --sort=-memory_gb",
        "--holds deepseek-v3",
        "--columns id,fp8_tflops,memory_gb",
    ),
    "hardware show": ("h800", "h800 gb200-nvl72 --columns fp8_tflops,memory_gb", "h800 --where"),
    "hardware validate": ("--hardware-db mine",),
    "models list": ("--min-total-params 5e11", "--sort=-active_params --columns id,active_params"),
    "models show": ("deepseek-v3", "deepseek-v3 kimi-k2"),
    "models validate": ("--model-db mine",),
    "models import": ("config.json -o my-model.toml",),
}
"""By command: what follows it."""
