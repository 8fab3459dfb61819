/** How the client says who it is, as the server reads it. */
export type Credentials =
  | { type: "basic"; user: string; password: string }
  | { type: "jwt"; token: string };

/** Asked before each connection, so that a token can be a fresh one. */
export type AuthProvider = () => Credentials | Promise<Credentials>;

/** Makes credentials. */
export const Auth = {
  /** A role and its password. */
  basic(user: string, password = ""): Credentials {
    return { type: "basic", user, password };
  },

  /** A JSON Web Token. */
  jwt(token: string): Credentials {
    return { type: "jwt", token };
  },
};
