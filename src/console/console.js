// What pages do beyond what they do without a script.
"use strict";
