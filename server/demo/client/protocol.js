/** The version of docs/protocol.md that is spoken here. */
export const VERSION = 1;
