"""The style of a report's page. It is light or dark as the reader's system is."""

__all__ = ["STYLE"]

STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1c2430; --soft: #596473; --line: #dde2e8; --tile: #f5f7f9;
 --good: #2a78c8; --bad: #d5542a; --c0: #2a78c8; --c1: #e08a1e; --c2: #4d9f6b; --c3: #9a5fb8; --c4: #c24a66;
 --rest: #8a94a0; }
@media (prefers-color-scheme: dark) { :root { --page: #14181e; --ink: #e6eaef; --soft: #9aa6b4; --line: #2f3844;
 --tile: #1c222a; --good: #5aa2ec; --bad: #f0784e; --c0: #5aa2ec; --c1: #f0aa50; --c2: #6cc28d; --c3: #bd8ad6;
 --c4: #e57a92; --rest: #778290; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 48px; }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.2; }
h2 { margin: 44px 0 12px; font-size: 1.2rem; }
.of { margin: 4px 0 20px; color: var(--soft); overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 10px; margin: 0; }
.tiles div { background: var(--tile); border-radius: 8px; padding: 10px 14px; }
.tiles dt { color: var(--soft); font-size: .82rem; }
.tiles dd { margin: 0; font-size: 1.3rem; font-weight: 600; font-variant-numeric: tabular-nums; }
figure { margin: 0 0 24px; min-width: 0; }
figcaption { margin-bottom: 8px; color: var(--soft); }
figcaption strong { color: var(--ink); margin-right: .4em; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 8px 36px; }
.plot { display: grid; grid-template-columns: auto 1fr; column-gap: 8px; font-size: .8rem; color: var(--soft); }
.plot svg { width: 100%; height: 180px; overflow: visible; }
.plot .y { display: flex; flex-direction: column; justify-content: space-between; margin: -.75em 0; text-align: right;
 font-variant-numeric: tabular-nums; }
.plot .x { grid-column: 2; position: relative; height: 1.7em; margin-top: 4px; }
.plot .x span { position: absolute; white-space: nowrap; transform: translateX(-50%); }
.plot .x .first { transform: none; }
.plot .x .last { transform: translateX(-100%); }
.plot .axis { grid-column: 2; text-align: center; }
line.grid { stroke: var(--line); stroke-width: 1px; vector-effect: non-scaling-stroke; }
line.mark { stroke: var(--ink); stroke-width: 1px; stroke-dasharray: 4 4; vector-effect: non-scaling-stroke; }
.good { fill: var(--good); background: var(--good); } .bad { fill: var(--bad); background: var(--bad); }
.c0 { fill: var(--c0); background: var(--c0); } .c1 { fill: var(--c1); background: var(--c1); }
.c2 { fill: var(--c2); background: var(--c2); } .c3 { fill: var(--c3); background: var(--c3); }
.c4 { fill: var(--c4); background: var(--c4); } .rest { fill: var(--rest); background: var(--rest); }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; list-style: none; margin: 0 0 10px; padding: 0;
 font-size: .85rem; }
.swatch { display: inline-block; width: .75em; height: .75em; border-radius: 2px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th, td { padding: 5px 18px 5px 0; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { font-weight: 400; } thead th { color: var(--soft); font-size: .85rem; }
th:first-child { text-align: left; }
tbody th { white-space: normal; overflow-wrap: anywhere; min-width: 11em; }
.bars { width: 100%; table-layout: auto; }
.bars th { min-width: 0; width: 34%; } .bars td { width: 1%; padding-right: 0; }
.bars td.bar { width: auto; padding-right: 12px; }
svg.bar { display: block; width: 100%; height: 14px; }
details { margin-top: 6px; font-size: .85rem; } summary { color: var(--soft); cursor: pointer; }
details .wide { max-height: 320px; overflow-y: auto; }
@media (max-width: 560px) { .plot .x span:nth-child(even) { display: none; }
 .bars tr { display: grid; grid-template-columns: 1fr auto; border-bottom: 1px solid var(--line); }
 .bars th, .bars td { border: 0; width: auto; } .bars th { grid-column: 1 / -1; padding-bottom: 0; }
 .bars td.bar { align-self: center; } }
footer { color: var(--soft); font-size: .88rem; } footer ul { padding-left: 1.2em; }
a:focus-visible, summary:focus-visible, .wide:focus-visible { outline: 2px solid var(--good); outline-offset: 2px; }
"""
