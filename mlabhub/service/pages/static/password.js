// Show a typed password on demand, and say so when the connection is not encrypted.

for (const button of document.querySelectorAll(".mlab-show-password")) {
  const field = document.getElementById(button.getAttribute("aria-controls"));
  button.addEventListener("click", () => {
    const show = field.type === "password";
    field.type = show ? "text" : "password";
    button.setAttribute("aria-pressed", String(show));
    button.firstElementChild.className = show ? "fa fa-eye-slash" : "fa fa-eye";
  });
}

const warning = document.getElementById("insecure-login-warning");
if (warning && !window.isSecureContext) {
  warning.hidden = false;
}
