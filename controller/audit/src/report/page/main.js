// Starts the page, and what belongs to no section: keys and the theme.

for (const element of document.querySelectorAll(".with-program")) element.hidden = false;

const themeButton = document.getElementById("theme");
const darkScheme = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : darkScheme.matches;
}

function nameTheme() {
  themeButton.textContent = isDark() ? "Light" : "Dark";
  themeButton.setAttribute("aria-label", `Use ${isDark() ? "light" : "dark"} colours`);
}

themeButton.addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  nameTheme();
});
darkScheme.addEventListener("change", nameTheme);
nameTheme();

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=radio], [type=checkbox]), select, textarea");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    searchField.focus();
    searchField.select();
  } else if (event.key === "Escape") {
    if (details.open) closeDetails(true);
    else if (event.target === searchField && searchField.value) {
      searchField.value = "";
      applyFilter();
    }
  }
});

// A link to a policy that the filter hides shows it all the same.
function showTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const article = target?.closest(".policy");
  if (!article) return;
  if (matchMedia("(max-width: 48rem)").matches) closeDetails(false);
  if (article.hidden) {
    article.hidden = false;
    article.scrollIntoView();
  }
  article.focus({ preventScroll: true });
}
addEventListener("hashchange", showTarget);

applyFilter();
showTarget();
