// The keys of the review: 1, 2, 3, S and T press the buttons that show them, unless someone types, or has switched them off.
"use strict";

const choice = document.querySelector("[data-shortcuts]");
const box = choice?.querySelector("input");

function remembered() {
  try {
    return localStorage.getItem("shortcuts") !== "off";
  } catch {
    return true;
  }
}

if (box) {
  choice.hidden = false;
  box.checked = remembered();
  box.addEventListener("change", () => {
    try {
      localStorage.setItem("shortcuts", box.checked ? "on" : "off");
    } catch {
      // It holds for this page then.
    }
  });
}

function types(element) {
  return element instanceof Element && element.closest("input:not([type=checkbox]), select, textarea, [contenteditable]");
}

document.addEventListener("keydown", (event) => {
  if (!box?.checked || event.ctrlKey || event.altKey || event.metaKey || event.repeat || event.isComposing) {
    return;
  }
  const key = event.key.toLowerCase();
  if (types(event.target) || !["1", "2", "3", "s", "t"].includes(key)) {
    return;
  }
  const button = document.querySelector(`[data-key="${key}"]`);
  if (button) {
    event.preventDefault();
    button.click();
  }
});
