// SPDX-License-Identifier: Apache-2.0
// Looks at pages in frames of several widths, and writes what is wrong with them.
"use strict";
const wrong = [];

function luminance(colour) {
  const [r, g, b] = colour.match(/[\d.]+/g).map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a, b) {
  const [less, more] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (more + 0.05) / (less + 0.05);
}

function figure(svg, paper, say, least) {
  const all = svg.getBoundingClientRect(), seen = [];
  for (const text of svg.querySelectorAll("text")) {
    const box = text.getBoundingClientRect(), style = getComputedStyle(text);
    if (box.width === 0) continue;
    if (box.left < all.left - 0.5 || box.right > all.right + 0.5 || box.top < all.top - 0.5 || box.bottom > all.bottom + 0.5)
      say(`"${text.textContent}" is cut`);
    for (const [other, name] of seen)
      if (Math.min(box.right, other.right) - Math.max(box.left, other.left) > 1.5 && Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top) > 3)
        say(`"${text.textContent}" lies on "${name}"`);
    seen.push([box, text.textContent]);
    const m = text.getScreenCTM(), size = parseFloat(style.fontSize) * Math.hypot(m.a, m.b);
    if (size < least) say(`"${text.textContent}" is ${size.toFixed(1)} px high`);
    const behind = svg.querySelector(":scope > rect");
    const ratio = contrast(style.fill, behind ? getComputedStyle(behind).fill : paper);
    if (ratio < 4.5) say(`"${text.textContent}" has a contrast of ${ratio.toFixed(1)}`);
  }
  return seen.length;
}

async function look(page, width) {
  const frame = document.createElement("iframe");
  frame.width = width;
  frame.height = 900;
  frame.style.border = "0";
  frame.src = page.path;
  const loaded = new Promise((done) => (frame.onload = done));
  document.body.append(frame);
  await loaded;
  const root = frame.contentDocument.documentElement, say = (what) => wrong.push(`${page.path} at ${width} px: ${what}`);
  if (root.scrollWidth > width) say(`it is ${root.scrollWidth} px wide`);
  let paper = frame.contentWindow.getComputedStyle(frame.contentDocument.body).backgroundColor;
  if (/, 0\)$/.test(paper)) paper = matchMedia("(prefers-color-scheme: dark)").matches ? "rgb(18, 18, 18)" : "rgb(255, 255, 255)";
  let texts = 0;
  const figures = frame.contentDocument.querySelectorAll("svg");
  for (const svg of figures) texts += figure(svg, paper, say, page.least);
  if (figures.length < page.figures || texts < figures.length) say(`it has ${figures.length} figures with ${texts} texts`);
  for (const word of frame.contentDocument.querySelectorAll("p, td, th, li, h1, h2, figcaption")) {
    const ratio = contrast(getComputedStyle(word).color, paper);
    if (ratio < 4.5) say(`"${word.textContent.slice(0, 30)}" has a contrast of ${ratio.toFixed(1)}`);
  }
  frame.remove();
}

(async () => {
  try {
    for (const page of await (await fetch("pages")).json()) for (const width of [420, 1200]) await look(page, width);
  } catch (e) {
    wrong.push(String(e));
  }
  const result = document.createElement("pre");
  result.id = "result";
  result.textContent = "RESULT" + JSON.stringify({ dark: matchMedia("(prefers-color-scheme: dark)").matches, wrong }) + "END";
  document.body.append(result);
})();
