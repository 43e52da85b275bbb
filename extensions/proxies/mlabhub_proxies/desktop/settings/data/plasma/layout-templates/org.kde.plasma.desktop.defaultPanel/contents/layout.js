// The bar of a new desktop: what people here open most, and nothing that is not in the image.
const panel = new Panel;
panel.location = "bottom";
panel.height = 2 * Math.floor(gridUnit * 2.5 / 2);
panel.addWidget("org.kde.plasma.kickoff");
const tasks = panel.addWidget("org.kde.plasma.icontasks");
tasks.currentConfigGroup = ["General"];
tasks.writeConfig("launchers", ["org.kde.konsole", "org.kde.dolphin", "org.kde.kate", "firefox-esr"]
    .map(name => "applications:" + name + ".desktop"));
for (const widget of ["marginsseparator", "systemtray", "digitalclock", "showdesktop"]) {
    panel.addWidget("org.kde.plasma." + widget);
}
