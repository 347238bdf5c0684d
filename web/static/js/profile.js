// The profile: shows a new access token once.
document.querySelector("[data-token-form]")?.addEventListener("api:done", (event) => {
  const made = document.querySelector("[data-token-made]");
  document.getElementById("token-value").textContent = event.detail.secret;
  made.hidden = false;
  made.scrollIntoView({ block: "nearest" });
  event.target.reset();
});
