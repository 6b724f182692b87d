// The form for a command: minutes are asked for only where they mean something.
const form = document.getElementById("order");

function showMinutes() {
  const follows = form.elements.kind.value === "follow";
  const minutes = document.getElementById("minutes");
  minutes.hidden = !follows;
  form.elements.minutes.disabled = !follows;
}

if (form) {
  form.elements.kind.addEventListener("change", showMinutes);
  showMinutes();
}
