// What markup alone cannot do: pictures that do not load give way, choices apply at once, changes are told.
"use strict";

document.addEventListener("error", (event) => {
  if (event.target instanceof HTMLImageElement) event.target.classList.add("gone");
}, true);

document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-apply]");
  if (form && event.target.matches("select, input[type=range], input[type=checkbox]")) form.requestSubmit();
});

document.addEventListener("htmx:afterSwap", () => {
  const told = document.getElementById("told");
  const news = document.querySelector("[data-news]");
  if (told && news) told.textContent = news.dataset.news;
});

// What refreshes itself waits while somebody is within it, reads a table of it, or looks elsewhere.
document.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.target;
  if (!part.matches("[data-live]")) return;
  if (document.hidden || part.contains(document.activeElement) || part.querySelector("details[open]")) event.preventDefault();
});
