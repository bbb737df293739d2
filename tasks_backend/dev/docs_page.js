// Lets the page's requests be made as a user of the development issuer. Served by `dev` only.
"use strict";

const SCHEME = "bearerAuth";
const REMEMBERED = "tasks-backend-try-as"; // a name, never a token

const bar = document.createElement("p");
bar.className = "development";
bar.innerHTML = `<strong>Development</strong> <label>Try it as
  <select>
    <option>alice</option>
    <option>bob</option>
    <option value="">nobody (no token)</option>
    <option value="own" disabled>whoever the token names</option>
  </select></label>
  <span role="status"></span>`;
const [choice, status] = [bar.querySelector("select"), bar.querySelector("span")];
let offered = null;

const token = () => ui.authSelectors.authorized()?.getIn([SCHEME, "value"]);

async function become(user) {
  sessionStorage.setItem(REMEMBERED, user);
  if (token()) ui.authActions.logout([SCHEME]);
  if (user) {
    const response = await fetch(`docs/token?user=${user}`);
    if (response.ok) {
      offered = { user, token: (await response.json()).token };
      ui.preauthorizeApiKey(SCHEME, offered.token);
    } else {
      status.textContent = "No token to be had here: paste the printed one at Authorize.";
    }
  }
}

function show() {
  const used = token();
  choice.value = !used ? "" : used === offered?.token ? offered.user : "own";
  status.textContent = used
    ? "A fresh token comes with each load of this page."
    : "Operations with a lock answer 401.";
}

addEventListener("ui-ready", async () => {
  document.body.prepend(bar);
  choice.addEventListener("change", () => become(choice.value));
  await become(sessionStorage.getItem(REMEMBERED) ?? "alice");
  ui.getStore().subscribe(show);
  show();
}, { once: true });
