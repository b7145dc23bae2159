// The keys of the page: they press its buttons, unless somebody types.
document.addEventListener("keydown", (event) => {
  const button = { j: "next", k: "previous", r: "random" }[event.key];
  const typing = event.target.closest("input, textarea, select, [contenteditable=true]");
  if (button && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) document.getElementById(button).click();
});
