// Content-Security-Policy forbids scripts inside the page, so what the page does of its own is here.
document.getElementById("again").addEventListener("click", () => window.location.reload());
new MutationObserver(() => {
  if (document.body.classList.contains("-closed")) document.getElementById("again").focus();
}).observe(document.body, { attributes: true });
