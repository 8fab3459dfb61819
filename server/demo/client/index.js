export { Auth } from "./auth.js";
export { Client, createClient } from "./client.js";
export * from "./errors.js";
export { SeqId } from "./seq.js";
