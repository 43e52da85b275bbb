// Nothing is reported, so that no machine needs a number; the real module would write one into people's homes.
exports.getDeviceId = async () => "";
