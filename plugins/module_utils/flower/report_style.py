# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Style sheet of the report."""

from __future__ import annotations

STYLE = """
:root { --page: #f6f7f9; --card: #ffffff; --ink: #1a2029; --soft: #586273; --line: #dfe3e9;
  --s0: #1f5fd1; --s1: #b45309; --s2: #6b7687; --good: #176b3a; --good-bg: #dff3e6; --warn: #7a4b00; --warn-bg: #fdefd2;
  --bad: #a3202a; --bad-bg: #fde2e3; }
@media (prefers-color-scheme: dark) { :root { --page: #12161c; --card: #1b212a; --ink: #e8ecf2; --soft: #a3aebd;
  --line: #313a47; --s0: #7cabff; --s1: #f0a94a; --s2: #99a5b7; --good: #86dca6; --good-bg: #163522; --warn: #f3c771;
  --warn-bg: #3a2c0f; --bad: #ff9ea3; --bad-bg: #43191d; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Arial, sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: .2rem 0 .8rem; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 0 0 .75rem; }
p { margin: 0 0 1rem; }
.over { color: var(--soft); margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.pill { display: inline-block; padding: .2rem .8rem; border-radius: 1rem; font-weight: 600; font-size: .9rem; }
.notice { padding: .8rem 1rem; border-radius: .6rem; border-left: .3rem solid currentColor; overflow-wrap: anywhere; }
.good { color: var(--good); background: var(--good-bg); }
.warn { color: var(--warn); background: var(--warn-bg); }
.bad { color: var(--bad); background: var(--bad-bg); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 1rem; margin: 1.5rem 0; }
.tiles > div, figure, section:not(.charts), details { background: var(--card); border: 1px solid var(--line);
  border-radius: .8rem; padding: 1.1rem 1.25rem; }
dt { color: var(--soft); font-size: .9rem; }
dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.tiles dd { font-size: 1.7rem; font-weight: 650; line-height: 1.25; letter-spacing: -.01em; }
.tiles small { display: block; font-size: .85rem; font-weight: 400; color: var(--soft); letter-spacing: 0;
  line-height: 1.4; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 1rem; }
.charts, section, details { margin-bottom: 1rem; }
figure { margin: 0; }
figcaption ul { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; list-style: none; margin: 0 0 .6rem; padding: 0;
  font-size: .9rem; color: var(--soft); }
figcaption li { display: flex; align-items: center; gap: .45rem; }
figcaption svg { width: 28px; height: 12px; }
figure > svg { display: block; width: 100%; height: auto; }
svg text { font-size: 13px; fill: var(--soft); }
.grid { stroke: var(--line); }
.line { fill: none; stroke-width: 2.5; stroke-linejoin: round; stroke-linecap: round; }
.line.s0 { stroke: var(--s0); } .line.s1 { stroke: var(--s1); stroke-dasharray: 8 5; }
.line.s2 { stroke: var(--s2); stroke-dasharray: 2 5; }
.mark { stroke: var(--card); stroke-width: 1.5; }
.mark.s0 { fill: var(--s0); } .mark.s1 { fill: var(--s1); } .mark.s2 { fill: var(--s2); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .95rem; }
th, td { padding: .45rem .9rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { color: var(--soft); font-weight: 500; font-size: .85rem; vertical-align: bottom; white-space: normal; }
th:first-child { text-align: left; }
td.free { white-space: normal; overflow-wrap: anywhere; min-width: 12rem; }
.short { color: var(--warn); font-weight: 650; }
.error td { color: var(--bad); text-align: left; white-space: normal; overflow-wrap: anywhere; font-size: .9rem; }
.note { color: var(--soft); font-size: .85rem; margin: .8rem 0 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .8rem 1.5rem; margin: 0; }
summary { cursor: pointer; font-weight: 600; }
pre { overflow-x: auto; font-size: .8rem; line-height: 1.45; margin: .8rem 0 0; }
:focus-visible { outline: 2px solid var(--s0); outline-offset: 2px; }
@media print { body { background: #fff; } main { padding: 0; } .tiles > div, figure, section { break-inside: avoid; } }
"""
