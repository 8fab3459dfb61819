/** Makes credentials. */
export const Auth = {
    /** A role and its password. */
    basic(user, password = "") {
        return { type: "basic", user, password };
    },
    /** A JSON Web Token. */
    jwt(token) {
        return { type: "jwt", token };
    },
};
