"""Whether a server is idle: what is known of its use, the rules of the site, and a verdict that says why.

samples    what is known of one server's use, in columns
fold       the rows read one by one: busy, idle since when, or not known
policy     ``idle.yaml``: windows, thresholds, warnings, grace, by profile, group and time of day
presets    policies named after what they imitate
state      what was said to the person and when it was delivered; what they asked for
verdict    `assess`: active, idle, unknown, warned or to be stopped
words      the same in sentences, signal by signal
rule_words the policy in sentences
gaps       how long servers stand idle before they are used again, and how many never are
patience   how long `default` waits for one server, by its own gaps and everybody's
"""
