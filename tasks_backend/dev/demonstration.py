"""Realistic tasks for a demonstration user."""

import psycopg2

from tasks_backend.dev.demonstration_statements import DELETE_SEEDED_TASKS, INSERT_TASKS

_WITH_DESCRIPTION = {
    "Book the train to Lisbon": "Two seats by the window, the morning of the 14th.\nReturn open.",
    "Buy milk": "Two litres, the one with the blue lid.",
    "Call the dentist": "Ask for an appointment before the holidays.",
    "Prepare the quarterly review": "Figures are in the shared folder.\n- revenue\n- churn\n- hiring",
    "Renew the passport": "Needs a new photo; the old one expires in March.",
    "Repair the bicycle": "The rear brake rubs, and a spoke is loose.",
    "Send the invoice to Ms Okafor": "Net 30 days, with the new bank details.",
    "Write the release notes": "Short. Link the migration guide.",
}
_WITHOUT_DESCRIPTION = (
    "Answer Jun's letter",
    "Back up the laptop",
    "Bake bread",
    "Cancel the old phone contract",
    "Check the emergency contacts",
    "Choose a birthday present for Mia",
    "Clean the windows",
    "Compare electricity tariffs",
    "Descale the coffee machine",
    "File the tax return",
    "Fix the dripping tap",
    "Invite the neighbours to dinner",
    "Learn the second movement",
    "Measure the shelf",
    "Order printer paper",
    "Pay the rent",
    "Pick up the parcel",
    "Plan the weekend hike",
    "Read chapter seven",
    "Reply to the landlord",
    "Return the library books",
    "Review Tomás' pull request",
    "Sharpen the kitchen knives",
    "Sort the photos of 2025",
    "Sow the tomatoes",
    "Take the cat to the vet",
    "Vote",
    "Wash the car",
    "Water the plants",
)


def seed(url: str, user_id: str, count: int) -> None:
    """Create this many tasks for a user, replacing those of the last seed; other tasks stay.

    About a third are open; the newest are all open. Needs a migrated database and a superuser.
    """
    titles = sorted((*_WITH_DESCRIPTION, *_WITHOUT_DESCRIPTION))
    values = {
        "user_id": user_id,
        "count": count,
        "titles": titles,
        "descriptions": [_WITH_DESCRIPTION.get(title) for title in titles],
    }
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(DELETE_SEEDED_TASKS, values)
            if count:
                cursor.execute(INSERT_TASKS, values)
    finally:
        connection.close()
